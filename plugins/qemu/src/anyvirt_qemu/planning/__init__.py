"""From a definition to a launch plan: values in, values out; nothing here touches the host."""

"""Values: documents as typed models, states, statistics."""

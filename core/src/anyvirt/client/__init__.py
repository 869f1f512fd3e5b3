"""What users hold in their hands: connections and handles, sync and asyncio."""

"""Import and export of stores in other formats, as streams: at most some thousand rows are in memory."""

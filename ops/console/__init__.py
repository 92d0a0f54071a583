"""The console: pages on which customers, support and operators see what the answers say, and act."""

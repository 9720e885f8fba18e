"""The package's rules against an agent that answers as each test wants it to."""

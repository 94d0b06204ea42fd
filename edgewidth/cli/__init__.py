"""The command line. Each verb has a file that parses its options, calls a stage, prints and gives the exit code."""

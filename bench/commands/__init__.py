"""What the command line can be asked for: a function a command, typer reads its signature."""

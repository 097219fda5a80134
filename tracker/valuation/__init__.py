"""What a share price says about a treasury: every definition of mNAV, with its inputs."""

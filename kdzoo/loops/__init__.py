"""What a method needs inside somebody else's training loop: their networks, their data, and one loss a step."""

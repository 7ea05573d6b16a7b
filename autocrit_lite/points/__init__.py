"""What a point is: its class, its flat directions, its spectrum."""

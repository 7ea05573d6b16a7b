"""Fully connected networks, their losses and derivatives in closed form."""

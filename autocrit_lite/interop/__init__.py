"""Models of other libraries as objectives; neither is imported before one of its models is."""

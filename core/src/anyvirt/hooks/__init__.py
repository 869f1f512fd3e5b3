"""What a driver may implement: one class of specs for each area."""

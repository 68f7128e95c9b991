"""The checks of `doctor`, by what they look at. Each returns a verdict, or raises what its port raises."""

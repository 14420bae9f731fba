"""What a person sees and types: options of the jobs, bars, and the tables they print at their end."""

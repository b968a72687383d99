"""Records in the formats of other projects, and other projects' results as records."""

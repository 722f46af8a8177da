"""A cluster on one machine: for demonstrations, and for every integration test (DESIGN.md section 8)."""

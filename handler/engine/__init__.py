"""The only room that knows torch: turns a Plan into pixels."""

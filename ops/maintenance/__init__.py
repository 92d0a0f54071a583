"""What puts back and repairs: replay."""

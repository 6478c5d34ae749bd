"""What an answer stands on, as one HTML page. It shows records; it computes and asks nothing."""

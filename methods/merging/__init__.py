"""What is worked out from the weights, outputs or features of finished models: pure algorithms."""

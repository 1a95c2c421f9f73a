"""Networks in use: exported, asked for predictions, evaluated, compared."""

"""What a run knows of itself and of earlier ones: its jobs, its journal, takeover, stopping."""

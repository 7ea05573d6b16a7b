"""Experiments: settings, tasks, workers, results on disk, the archive."""

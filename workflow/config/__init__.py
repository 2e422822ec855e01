"""Read, complete and check a config; runs, experiments and labs as pure functions of it."""

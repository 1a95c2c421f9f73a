"""Where the tasks of a suite are done: processes of this machine, or jobs of a cluster."""

"""Who runs the cells: this process, a pool, a cluster; and several processes to a cell."""

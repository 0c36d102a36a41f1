"""What a store needs once in a while: a check, a repair, a backup, and to be restored from one."""

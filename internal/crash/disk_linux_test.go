package crash

import "syscall"

// mountSmall puts a disk of 32 MB at dir; only root may.
func mountSmall(dir string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m") }

func unmount(dir string) { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }

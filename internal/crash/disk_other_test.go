//go:build !linux

package crash

import "errors"

func mountSmall(string) error { return errors.ErrUnsupported }

func unmount(string) {}

package processors

import (
	"strconv"
	"strings"
)

const markerPrefix = "\x00brimline-"

// MarkerKey is the key under which a table keeps what concerns all users of
// one partition (a truncation of the watched table). No user id starts with a NUL:
// PostgreSQL has no text with one.
func MarkerKey(partition int32, partitions int) string {
	for n := 0; ; n++ {
		if key := markerPrefix + strconv.Itoa(n); Partition(key, partitions) == partition {
			return key
		}
	}
}

// IsMarker tells such keys from users.
func IsMarker(key string) bool { return strings.HasPrefix(key, markerPrefix) }

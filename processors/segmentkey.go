package processors

import (
	"strconv"
	"strings"
)

// segmentMark stands between the user and the number in a segment's key. No user id holds a NUL (see MarkerKey).
const segmentMark = 0

// SegmentKey is the key under which the window table keeps a segment of a user's state.
func SegmentKey(user string, n uint64) string {
	return user + string(rune(segmentMark)) + strconv.FormatUint(n, 10)
}

// ParseSegmentKey is the inverse of SegmentKey; ok is false for every other key.
func ParseSegmentKey(key string) (user string, n uint64, ok bool) {
	at := strings.LastIndexByte(key, segmentMark)
	if at <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(key[at+1:], 10, 64)
	return key[:at], n, err == nil
}

package verify

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// position is where a partition stands: what is below next has been handled, up to the watermark's cause, but for what
// is kept back: of each user who is open, all from a place on.
type position struct {
	next      int64 // none if below 0
	watermark brimline.Cause
	open      []openUser // each user once
	begin     place      // where to read from while some are open
}

// place is a message's, and the watermark before it. Whoever reads on from there with that watermark tells replays as
// they were told at first.
type place struct {
	offset int64
	before brimline.Cause
}

// openUser is a user of whom all is kept back from an offset on.
type openUser struct {
	user userKey
	from int64
}

// userKey stands for a user in metadata: as many bytes of a hash as make two users with one unthinkable.
type userKey [12]byte

func userKeyOf(user string) (k userKey) {
	sum := sha256.Sum256([]byte(user))
	copy(k[:], sum[:])
	return k
}

// committed is the offset to commit: a reader that begins there reads all that has not been handled.
func (p *position) committed() int64 {
	if len(p.open) > 0 {
		return p.begin.offset
	}
	return p.next
}

// A committed position with open users travels in the metadata as version:offset:index:next:offset:index:open. The
// first three are the watermark's, with a version of its own, so that a program which does not know open users stops
// instead of handling all from the committed offset on as new. Then comes the watermark before the committed offset.
// open is base64 of the users' keys, each with a varint, by how much the first of theirs lies above the committed one.
// Version 2 named open offsets.
const (
	openVersion     = "3"
	formerlyVersion = "2"
)

// mostMetadata fits the broker's default of offset.metadata.max.bytes, 4096.
const mostMetadata = 4000

func (p *position) metadata() string {
	watermark := formatWatermark(p.watermark)
	if len(p.open) == 0 {
		return watermark
	}
	var open []byte
	for _, u := range p.open {
		open = binary.AppendUvarint(append(open, u.user[:]...), uint64(u.from-p.begin.offset))
	}
	_, cause, _ := strings.Cut(watermark, ":")
	_, before, _ := strings.Cut(formatWatermark(p.begin.before), ":")
	return fmt.Sprintf("%s:%s:%d:%s:%s", openVersion, cause, p.next, before, base64.RawURLEncoding.EncodeToString(open))
}

// parsePosition reads what was committed.
func parsePosition(offset int64, metadata string) (p position, err error) {
	version, rest, _ := strings.Cut(metadata, ":")
	switch version {
	case openVersion:
	case formerlyVersion:
		return p, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "watermark", Where: "committed offset of the verify stage",
			Remedy: "run the version of brimline that wrote it until its brimline_verify_kept_back is 0, or a new --group",
			Err:    errors.New("an older version keeps back candidates of users with many rows in another form"),
		}
	default:
		p.next = offset
		p.watermark, err = parseWatermark(metadata)
		return p, err
	}
	fail := func() (position, error) { return position{}, foreignMetadata(metadata) }
	parts := strings.Split(rest, ":")
	if len(parts) != 6 {
		return fail()
	}
	cause := func(offset, index string) (c brimline.Cause) {
		c, errCause := parseWatermark(watermarkVersion + ":" + offset + ":" + index)
		err = errors.Join(err, errCause)
		return c
	}
	p.watermark = cause(parts[0], parts[1])
	p.begin = place{offset, cause(parts[3], parts[4])}
	next, errNext := strconv.ParseInt(parts[2], 10, 64)
	open, errOpen := base64.RawURLEncoding.DecodeString(parts[5])
	if errors.Join(err, errNext, errOpen) != nil {
		return fail()
	}
	p.next = next
	for len(open) > 0 {
		var u openUser
		k := copy(u.user[:], open)
		above, n := binary.Uvarint(open[k:])
		if n <= 0 || above >= uint64(next-offset) {
			return fail()
		}
		u.from = offset + int64(above)
		open, p.open = open[k+n:], append(p.open, u)
	}
	if len(p.open) == 0 {
		return fail()
	}
	return p, nil
}

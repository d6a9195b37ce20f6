package verify

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// The watermark travels in the metadata of the committed offset as
// version:offset:index of a brimline.Cause.
const watermarkVersion = "1"

// beforeAll is the watermark of a partition of which nothing has been handled.
func beforeAll() brimline.Cause { return brimline.Cause{Offset: -1} }

func formatWatermark(c brimline.Cause) string {
	return watermarkVersion + ":" + strconv.FormatInt(c.Offset, 10) + ":" + strconv.Itoa(c.Index)
}

// parseWatermark takes empty metadata, which is what `kafka-consumer-groups
// --reset-offsets` leaves, as a wish to handle everything again. Metadata that
// it does not know is an error: without the watermark alerts would come twice.
func parseWatermark(metadata string) (brimline.Cause, error) {
	if metadata == "" {
		return beforeAll(), nil
	}
	version, rest, _ := strings.Cut(metadata, ":")
	offset, index, ok := strings.Cut(rest, ":")
	o, err1 := strconv.ParseInt(offset, 10, 64)
	i, err2 := strconv.Atoi(index)
	if version != watermarkVersion || !ok || err1 != nil || err2 != nil {
		return brimline.Cause{}, foreignMetadata(metadata)
	}
	return brimline.Cause{Offset: o, Index: i}, nil
}

func foreignMetadata(metadata string) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "watermark", Where: "committed offset of the verify stage",
		Remedy: "run the version of brimline that wrote it, or a new --group",
		Err:    errors.New("its metadata " + fmt.Sprintf("%.64q", metadata) + " is none of this version's"),
	}
}

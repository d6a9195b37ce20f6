package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/present"
)

// operator does what the HTTP API is asked for with the role operate, one thing after the other.
type operator struct {
	app    *App
	reader *feed.Reader
	rules  *brimline.RuleSet
	mu     sync.Mutex
}

// Retry is as of httpapi.Operator.
func (o *operator) Retry(ctx context.Context, partition int32, offset int64) (httpapi.Retried, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	streams := o.app.streams
	letter, err := o.letter(ctx, streams.DeadLetters, partition, offset)
	if err != nil {
		return httpapi.Retried{}, err
	}
	changes, err := o.reader.Extent(ctx, streams.Changes)
	if err != nil {
		return httpapi.Retried{}, err
	}
	record, err := Again(letter, streams, len(changes.End), o.rules)
	if err != nil {
		return httpapi.Retried{}, &brimline.Error{
			Class: brimline.ClassInput, Kind: "letter_left_alone", Where: placeOfLetter(partition, offset),
			Remedy: "see the letter's own remedy in /api/v1/dead-letters", Err: err,
		}
	}
	retry := NewRetry(o.app.kafka)
	err = retry.Send(record)
	if closing := retry.Close(); err == nil {
		err = closing
	}
	into := "source"
	if streams.Asks(letter.Topic) {
		into = "window"
	}
	return httpapi.Retried{Topic: letter.Topic, Partition: letter.Partition, Offset: letter.Offset, Into: into}, err
}

func placeOfLetter(partition int32, offset int64) string {
	return fmt.Sprintf("dead letter %d/%d", partition, offset)
}

// letter reads a dead letter.
func (o *operator) letter(
	ctx context.Context,
	topic string,
	partition int32,
	offset int64,
) (*brimline.DeadLetter, error) {
	e, err := o.reader.Extent(ctx, topic)
	if err != nil {
		return nil, err
	}
	var letter *brimline.DeadLetter
	if int(partition) < len(e.End) && offset >= e.Low[partition] && offset < e.End[partition] {
		_, err = o.reader.Read(ctx, e, partition, offset, offset+1, func(m feed.Record) error {
			v, err := codecs.DeadLetter{}.Decode(m.Value)
			if err == nil && m.Offset == offset {
				letter = v.(*brimline.DeadLetter)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if letter == nil {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "letter_not_found", Where: placeOfLetter(partition, offset),
			Remedy: "give the partition and offset that `recorded` has in /api/v1/dead-letters",
			Err:    errors.New("there is no dead letter at this place"),
		}
	}
	return letter, nil
}

// expiresSoon is how long before its end a certificate is worth a word.
const expiresSoon = 7 * 24 * time.Hour

// notices say what is wrong with the files that the API depends on.
func (s *serving) notices(now time.Time) (all []httpapi.Notice) {
	if s == nil {
		return nil
	}
	add := func(kind, what string, err error) {
		message, remedy := explained(err)
		all = append(all, httpapi.Notice{
			Kind: kind, Level: httpapi.Warning, Message: what + ", and what was read before holds: " + message, Remedy: remedy,
		})
	}
	if s.tokens != nil {
		if err := s.tokens.Wrong(); err != nil {
			add("tokens_file", "the file of tokens cannot be used as it is now", err)
		}
	}
	if s.certificate == nil {
		return all
	}
	if err := s.certificate.Wrong(); err != nil {
		add("tls_pair", "the certificate and its key cannot be used as they are now", err)
	}
	if until := s.certificate.Expires(); until.Sub(now) < expiresSoon {
		verb := "ends"
		if until.Before(now) {
			verb = "ended"
		}
		all = append(all, httpapi.Notice{
			Kind: "certificate_ends", Level: httpapi.Warning,
			Message: strings.Join(
				[]string{"the certificate of the API", verb, "at", present.TimeUTC(brimline.TimeOf(until))},
				" ",
			),
			Remedy: "write a newer one to --tls-cert and its key to --tls-key: it is taken up without a restart",
		})
	}
	return all
}

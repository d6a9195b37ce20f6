package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Kinds of Explain that callers act on.
const (
	KindUnreachable  = "kafka_unreachable"
	KindAuth         = "kafka_auth"
	KindTLS          = "kafka_tls"
	KindTopicMissing = "kafka_topic_missing"
	KindPermission   = "kafka_permission"
	KindOffsetLost   = "kafka_offset_lost"
	KindTopicDiffers = "kafka_topic_differs"
	KindGroupActive  = "kafka_group_active"
	KindOther        = "kafka"
)

// Explain turns what sarama, goka over sarama, or franz-go reports into an error that
// says what can be done. where names what was being done and to what. What is
// already explained, and the end of a context, are returned as they are.
func Explain(err error, where string) error {
	if err == nil || ended(err) {
		return err
	}
	if _, ok := errors.AsType[*brimline.Error](err); ok {
		return err
	}
	e := &brimline.Error{Class: brimline.ClassEnvironment, Where: where, Err: err}
	e.Kind, e.Remedy = diagnose(err)
	if e.Kind == KindOther {
		e.Class = brimline.ClassRuntime
	}
	return e
}

// ended says whether err is the end of a context. Go takes a connection that was not made in time for one, too, and so
// does franz-go with its own words.
func ended(err error) bool {
	if _, dialled := errors.AsType[*net.OpError](err); dialled || strings.Contains(err.Error(), "unable to dial: ") {
		return errors.Is(err, context.Canceled)
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// diagnose asks for the most telling cause first: sarama wraps "wrong password"
// and "unknown authority" in "run out of brokers".
func diagnose(err error) (kind, remedy string) {
	if isTLS(err) {
		return KindTLS, "check whether the port wants TLS, the CA file (the authority of the brokers' certificates), " +
			"and the server name"
	}
	for _, s := range symptoms() {
		if s.matches(err) {
			return s.kind, s.remedy
		}
	}
	if isNetwork(err) {
		return KindUnreachable, unreachableRemedy
	}
	return KindOther, ""
}

const unreachableRemedy = "check the broker addresses, that the brokers run, whether the port wants TLS or SASL, " +
	"and the password"

type symptom struct {
	causes       []error
	kind, remedy string
}

// matches asks the chain, and where goka broke the chain (it wraps with %v when
// a processor is set up), the text: Kafka's error texts are whole sentences.
func (s symptom) matches(err error) bool {
	text := err.Error()
	answer, answered := errors.AsType[*kerr.Error](err) // franz-go's; the causes are sarama's
	for _, cause := range s.causes {
		if code, ok := cause.(sarama.KError); ok && answered && int16(code) == answer.Code { //nolint:errorlint // one of ours
			return true
		}
		if errors.Is(err, cause) || strings.Contains(text, cause.Error()) {
			return true
		}
	}
	return false
}

func symptoms() []symptom {
	return []symptom{
		{
			[]error{sarama.ErrSASLAuthenticationFailed, sarama.ErrUnsupportedSASLMechanism, sarama.ErrIllegalSASLState},
			KindAuth, "check the SASL mechanism, user and password",
		},
		{
			[]error{
				sarama.ErrTopicAuthorizationFailed,
				sarama.ErrGroupAuthorizationFailed,
				sarama.ErrClusterAuthorizationFailed,
				sarama.ErrTransactionalIDAuthorizationFailed,
			},
			KindPermission, "grant this user the rights in Kafka that docs/security.md lists",
		},
		{
			[]error{sarama.ErrOffsetOutOfRange},
			KindOffsetLost, "records were deleted before they were read, or the topic was created anew: start a new " +
				"--group to read from what is left, and lengthen the topic's retention",
		},
		{
			[]error{sarama.ErrUnknownTopicOrPartition},
			KindTopicMissing, "check the topic's name, and that whoever creates it has run",
		},
		{
			[]error{sarama.ErrMessageSizeTooLarge},
			"kafka_message_too_large", "raise the topic's max.message.bytes, or the largest message that brimline may write",
		},
		{
			[]error{sarama.ErrNotEnoughReplicas, sarama.ErrNotEnoughReplicasAfterAppend},
			"kafka_replicas", "bring the missing brokers back: fewer replicas are in sync than min.insync.replicas asks for",
		},
		{
			[]error{sarama.ErrInvalidReplicationFactor},
			"kafka_replication", "ask for no more replicas than there are brokers",
		},
		{
			[]error{sarama.ErrPolicyViolation, sarama.ErrInvalidConfig},
			"kafka_policy",
			"create the topic by hand with settings that the cluster allows; `brimline topology` lists what is needed",
		},
		{
			[]error{sarama.ErrInconsistentGroupProtocol},
			"kafka_group_protocol", "stop the other members of this group: another program, or an older brimline, uses its name",
		},
		{
			[]error{sarama.ErrInvalidSessionTimeout},
			"kafka_session_timeout",
			"choose a session timeout within the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms",
		},
		{
			[]error{sarama.ErrFencedInstancedId, sarama.ErrProducerFenced, sarama.ErrInvalidProducerEpoch},
			"kafka_fenced", "give each instance an id of its own: another one took over under this id",
		},
		{
			[]error{sarama.ErrNonEmptyGroup},
			KindGroupActive, "stop every instance of the group first",
		},
		{
			[]error{
				sarama.ErrOutOfBrokers, sarama.ErrNotConnected, sarama.ErrControllerNotAvailable, sarama.ErrBrokerNotFound,
				sarama.ErrLeaderNotAvailable, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrRequestTimedOut,
				sarama.ErrNetworkException,
				kgo.ErrRecordTimeout,
			},
			KindUnreachable, unreachableRemedy,
		},
	}
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ") ||
		strings.Contains(text, "tls alert record")
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

package kafka

import "github.com/IBM/sarama"

// Names of sarama's types for packages that wire clients without importing it.
type (
	// Message is a record as Tail hands it on.
	Message = sarama.ConsumerMessage
	// ClientConfig is what Options make and sarama's clients take.
	ClientConfig = sarama.Config
	// Interceptor sees every message that a consumer has fetched, before its handler does.
	Interceptor = sarama.ConsumerInterceptor
)

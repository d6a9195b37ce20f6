package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/brimline/brimline"
)

// Secret is a setting that is never shown: it prints, logs and marshals as
// [secret]. Only Reveal gives it away.
type Secret string

const hidden = "[secret]"

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format hides the secret from every verb, %#v and %x among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText is String, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// ReadSecrets replaces the secrets that are given as files by their contents,
// without the line's end. The files are then no longer named, so that the
// result is valid: file and secret exclude each other.
func (c *Config) ReadSecrets() error {
	if err := readSecret("--kafka-sasl-password-file", &c.KafkaSASLPasswordFile, &c.KafkaSASLPassword); err != nil {
		return err
	}
	if err := readSecret("--replica-url-file", &c.ReplicaURLFile, &c.ReplicaURL); err != nil {
		return err
	}
	return readSecret("--database-url-file", &c.DatabaseURLFile, &c.DatabaseURL)
}

func readSecret(flag string, path *string, into *Secret) error {
	if *path == "" {
		return nil
	}
	text, err := os.ReadFile(*path)
	if err != nil {
		if _, missing := os.Lstat(*path); missing != nil {
			// Perhaps it is the secret itself, in the wrong setting.
			err = errors.New("there is no such file (its name is not repeated here: it may be the secret)")
		}
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "secret_file", Where: flag,
			Remedy: "name a file that this user may read", Err: err,
		}
	}
	secret := Secret(strings.TrimRight(string(text), "\r\n"))
	if secret == "" {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "secret_file", Where: flag,
			Remedy: "write the secret into it", Err: fmt.Errorf("%s is empty", *path),
		}
	}
	*into, *path = secret, ""
	return nil
}

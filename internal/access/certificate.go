package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/brimline/brimline"
)

// Certificate is a server's, with its key.
type Certificate struct {
	watched watched[tls.Certificate]
	first   *content
}

// OpenCertificate reads a certificate, with the chain below it, and its key (PEM). Errors are of ClassInput.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{watched: watched[tls.Certificate]{
		what: "the certificate", paths: []string{certFile, keyFile}, log: log,
		make: func(texts [][]byte) (*tls.Certificate, error) {
			pair, err := tls.X509KeyPair(texts[0], texts[1])
			return &pair, err
		},
	}}
	var err error
	if c.first, err = c.watched.open(); err != nil {
		for _, f := range []struct{ flag, path string }{{"--tls-cert", certFile}, {"--tls-key", keyFile}} {
			if _, bad := readOne(f.path); bad != nil {
				return nil, unreadable(f.flag, f.path, bad)
			}
		}
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "tls_pair", Where: "--tls-cert and --tls-key",
			Remedy: "give a certificate with the chain below it, and its key without a password, both PEM", Err: err,
		}
	}
	return c, nil
}

// Run looks at the files again and again, until ctx ends.
func (c *Certificate) Run(ctx context.Context) { c.watched.run(ctx, c.first, LookEvery) }

// Get is for tls.Config.GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.watched.now.Load(), nil
}

// Wrong is why the files as they are now cannot be used; nil where they are.
func (c *Certificate) Wrong() error { return c.watched.wrong() }

// Expires is when the certificate ends.
func (c *Certificate) Expires() time.Time { return c.watched.now.Load().Leaf.NotAfter }

// Trusting is for a client of the server whose certificate a file has: it takes that certificate under any name, since
// a check on the server's own machine asks for localhost, and others as usual, by the system's authorities and those in
// the file.
func Trusting(certFile string) (*tls.Config, error) {
	refuse := func(err error) error {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "tls_pair", Where: "--tls-cert",
			Remedy: "name the server's certificate (PEM)", Err: err,
		}
	}
	text, err := readOne(certFile)
	if err != nil {
		return nil, unreadable("--tls-cert", certFile, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, refuse(fmt.Errorf("%s holds no certificate", certFile))
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// VerifyConnection checks, and more than a name.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("the server shows no certificate")
			}
			leaf := state.PeerCertificates[0]
			if own, err := leafOf(certFile); err == nil && leaf.Equal(own) {
				return nil
			}
			between := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: state.ServerName})
			return err
		},
	}, nil
}

// leafOf reads the first certificate of a file.
func leafOf(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return firstCertificate(text)
}

func firstCertificate(text []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			return nil, errors.New("no certificate")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

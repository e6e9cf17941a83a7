// Package tlsfile reads certificates and keys from files that are replaced while the process runs.
package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/config"
)

// Config names a certificate and its key, both PEM.
type Config struct {
	CertFile string `yaml:"cert_file"` // the certificate, followed by those between it and its root
	KeyFile  string `yaml:"key_file"`
}

// Given reports whether the files are named.
func (c *Config) Given() bool { return *c != Config{} }

// Validate reads the files, if they are named, and says what is wrong with them.
func (c *Config) Validate() error {
	switch {
	case !c.Given():
		return nil
	case c.KeyFile == "":
		return config.At(errors.New("name the key of cert_file too"), "key_file")
	case c.CertFile == "":
		return config.At(errors.New("name the certificate of key_file too"), "cert_file")
	}
	_, _, err := c.load()
	return err
}

// load reads the files. seen tells their contents from others.
func (c *Config) load() (pair *tls.Certificate, seen string, err error) {
	cert, err := os.ReadFile(c.CertFile)
	if err != nil {
		return nil, "", config.At(unreadable(c.CertFile, err), "cert_file")
	}
	key, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, "", config.At(unreadable(c.KeyFile, err), "key_file")
	}
	seen = string(cert) + string(key)
	both, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, seen, config.At(fmt.Errorf("%s and %s are not a certificate and its key, both PEM: %w", c.CertFile, c.KeyFile, err), "cert_file")
	}
	return &both, seen, nil
}

func unreadable(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // without the path, which stands before it
	}
	return fmt.Errorf("cannot read %s: %w", path, err)
}

// lookEvery is how often the files are looked at, when there are handshakes. They are read, not asked for their times: a few
// kilobytes, and no doubt about links, clocks and files that are written in place.
const lookEvery = time.Second

// Pair is a certificate with its key, as its files have it. It is safe for concurrent use.
type Pair struct {
	cfg Config
	log *zap.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    string // what the files held when current was read
	trouble string // why they could not be used at the last look; empty: they could
	looked  time.Time
}

// Open reads the files.
func Open(cfg Config, log *zap.Logger) (*Pair, error) {
	pair, seen, err := cfg.load()
	if err != nil {
		return nil, err
	}
	return &Pair{cfg: cfg, log: log, current: pair, seen: seen, looked: time.Now()}, nil
}

// Current is the certificate for a handshake that begins now. Of files that are broken the log says so once, and what was in
// them before stays in use.
func (p *Pair) Current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) < lookEvery {
		return p.current
	}
	p.looked = time.Now()
	pair, seen, err := p.cfg.load()
	switch {
	case err != nil && err.Error() != p.trouble:
		p.trouble = err.Error()
		p.log.Error("the new certificate cannot be used, and the one before it stays in use; put both files right", zap.Error(err))
	case err == nil && seen != p.seen:
		p.current = pair
		p.log.Info("a new certificate is in use", zap.String("cert_file", p.cfg.CertFile), zap.Time("expires", pair.Leaf.NotAfter))
	}
	if err == nil {
		p.seen, p.trouble = seen, ""
	}
	return p.current
}

// Roots reads the certificates of authorities from a PEM file.
func Roots(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate; it should hold those of the authorities to be trusted, as PEM", path)
	}
	return roots, nil
}

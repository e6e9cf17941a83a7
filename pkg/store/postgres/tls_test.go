package postgres_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/pkg/store/storetest/pgtest"
	"github.com/onhook/onhook/pkg/tlsfile/tlstest"
)

// overTLS has the server speak TLS, and let one role in with a certificate alone.
func overTLS(t *testing.T, server *pgtest.Server) {
	dsn := server.Database(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ca, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	cert, key := ca.Issue(t, "postgres")
	for _, sql := range []string{
		"CREATE ROLE certonly LOGIN SUPERUSER",
		put("tls.crt", cert), put("tls.key", key), put("ca.crt", ca.PEM),
		`COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; sed -i "1i hostssl all certonly all cert" pg_hba.conf'`,
		"ALTER SYSTEM SET ssl_cert_file = 'tls.crt'", "ALTER SYSTEM SET ssl_key_file = 'tls.key'", "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'",
		"ALTER SYSTEM SET ssl = on",
		"SELECT pg_reload_conf()",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%.40s: %v", sql, err)
		}
	}
	right, _ := ca.Mount(t, "certonly")
	wrong, _ := other.Mount(t, "certonly")
	with := func(mode, ca, cert, key string) string {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		q := url.Values{"sslmode": {mode}}
		for name, path := range map[string]string{"sslrootcert": ca, "sslcert": cert, "sslkey": key} {
			if path != "" {
				q.Set(name, path)
			}
		}
		u.User, u.RawQuery = url.User("certonly"), q.Encode()
		return u.String()
	}
	good := with("verify-full", right.CA, right.Cert, right.Key)
	if _, _, err := store.Migrate(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var dn string
	if err := conn.QueryRow(t.Context(), "SELECT coalesce(max(client_dn), '') FROM pg_stat_ssl WHERE ssl AND client_dn LIKE '%certonly'").Scan(&dn); err != nil || dn != "/CN=certonly" {
		t.Errorf("the store's connections are those of %q: %v", dn, err)
	}
	for name, bad := range map[string]string{
		"a server of another authority": with("verify-full", wrong.CA, right.Cert, right.Key),
		"a certificate of another":      with("verify-full", right.CA, wrong.Cert, wrong.Key),
		"no certificate":                with("verify-full", right.CA, "", ""),
		"no TLS":                        with("disable", "", "", ""),
	} {
		if s, err := store.Open(t.Context(), bad); err == nil {
			s.Close()
			t.Errorf("%s: connected", name)
		}
	}
}

// put writes a file into the server's data folder, which its owner alone can read.
func put(name string, data []byte) string {
	return fmt.Sprintf("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; umask 077; echo %s | base64 -d > %s'", base64.StdEncoding.EncodeToString(data), name)
}

func TestFilesOfTheDSNAreCheckedByName(t *testing.T) {
	t.Parallel()
	files, _ := tlstest.NewAuthority(t).Mount(t, "a")
	missing, empty := filepath.Join(t.TempDir(), "missing"), filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const dsn = "postgres://onhook:s3cret@db/onhook?sslmode=verify-full"
	for query, says := range map[string]string{
		"&sslrootcert=" + missing:                         "sslrootcert of the PostgreSQL DSN: cannot read " + missing,
		"&sslrootcert=" + empty:                           empty + " holds no certificate",
		"&sslcert=" + files.Cert + "&sslkey=" + missing:   "cannot read " + missing,
		"&sslcert=" + files.Cert + "&sslkey=" + files.CA:  files.CA,
		"&sslcert=" + files.Cert:                          "name the key",
		"&sslcert=" + files.Cert + "&sslkey=" + files.Key: "",
	} {
		err := store.CheckDSN(dsn + query)
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

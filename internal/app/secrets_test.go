package app

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/config"
)

func TestIsSecret(t *testing.T) {
	for _, key := range []string{"secret", "secret_key", "client_secret", "access_key_secret", "secret_id", "password", "Password", "passwd", "passphrase",
		"token", "session_token", "bearer_token", "token_secret", "access_key", "aws-access-key", "account_key", "storage_account_key", "sse_key", "encryption_key",
		"service_account", "credentials", "connection_string", "storage_connection_string", "api_key", "X-Api-Key", "apikey", "privatekey", "key_pem",
		"Authorization", "Proxy-Authorization"} {
		require.True(t, isSecret(key), key)
	}
	for _, key := range []string{"key_file", "password_file", "credentials_file", "bearer_token_file", "token_url", "key", "keys", "primary_keyspace",
		"username", "account", "storage_account", "service_account_name", "endpoint", "bucket", "data", "http_sd_url", "monkey", ""} {
		require.False(t, isSecret(key), key)
	}
}

func TestHideSecrets(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		var doc yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(in), &doc))
		hideSecrets(&doc)
		out, err := yaml.Marshal(&doc)
		require.NoError(t, err)
		require.Equal(t, want, strings.TrimSpace(string(out)))
	}
	f("password: hunter2", "password: <secret>")
	f("password: 12345", "password: <secret>")
	f("password: true", "password: <secret>")
	f("password: ''", "password: ''")
	f("password: null", "password: null")
	f("password: |-\n  two\n  lines", "password: <secret>")
	f("password_file: /etc/p", "password_file: /etc/p")
	f("a: {b: [{token: x, user: y}]}", "a: {b: [{token: <secret>, user: y}]}")
	f("tokens: [a, b]", "tokens: [<secret>, <secret>]")
	f("credentials: {user: u, password: p}", "credentials: {user: u, password: <secret>}")
	f("authorization: {type: Bearer, credentials: x}", "authorization: {type: Bearer, credentials: <secret>}")
	f("headers: {Authorization: Basic eA==}", "headers: {Authorization: <secret>}")
	f("endpoint: https://me:hunter2@example.com/x?u=a:b@c", "endpoint: https://me:<secret>@example.com/x?u=a:b@c")
	f("targets: ['https://:p@a', 'https://a:80/b@c', 'http://u@a']", "targets: ['https://:<secret>@a', 'https://a:80/b@c', 'http://u@a']")
	f("a: 1 # password: hunter2\n# token: x\nb: 2", "a: 1\nb: 2")
	f("just text", "just text")
}

// What the configuration holds, the page about it doesn't.
func TestConfigText(t *testing.T) {
	a := &App{cfg: config.Default()}
	a.cfg.S3.AccessKey, a.cfg.S3.SecretKey = "open-1", "open-2"
	a.cfg.Storage.S3.SecretKey = "open-3"
	a.cfg.Storage.S3.SessionToken = "open-4"
	a.cfg.Storage.Azure.StorageAccountKey = "open-5"
	a.cfg.Storage.Azure.StorageConnectionString = "open-6"
	a.cfg.Storage.GCS.ServiceAccount = `{"private_key":"open-7"}`
	a.cfg.Storage.Swift.Password = "open-8"
	a.cfg.Storage.OSS.AccessKeySecret = "open-9"
	require.NoError(t, yaml.Unmarshal([]byte("scrape_configs: [{job_name: x, basic_auth: {username: who, password: open-10}}]\n"+
		"collector: {config: {exporters: {otlp: {headers: {authorization: open-11}}}}}"), &a.cfg))
	a.reloader = newReloader(a.cfg, Options{}, prometheus.NewRegistry())
	text, err := a.configText()
	require.NoError(t, err)
	require.NotContains(t, string(text), "open-")
	require.Contains(t, string(text), "username: who")
	var shown struct {
		Data string
		HTTP struct{ Listen string }
		S3   struct {
			SecretKey string `yaml:"secret_key"`
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &shown))
	require.Equal(t, a.cfg.Data, shown.Data)
	require.Equal(t, a.cfg.HTTP.Listen, shown.HTTP.Listen)
	require.Equal(t, hidden, shown.S3.SecretKey)
}

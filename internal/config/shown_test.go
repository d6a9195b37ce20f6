package config

import (
	"strings"
	"testing"
)

// TestMisplacedSecrets: a URL or a password in the wrong setting is refused there, and not shown.
func TestMisplacedSecrets(t *testing.T) {
	for _, c := range []struct{ file, flag string }{
		{flag: "--table=postgres://u:hunter2@h:5432/app"},
		{flag: "--source=postgres://u:hunter2@h:5432/app"},
		{flag: "--group=postgres://u:hunter2@h:5432/app"},
		{flag: "--alerts=//u:hunter2@h"},
		{flag: "--verify=postgres://u:hunter2@h"},
		{flag: "--stages=postgres://u:hunter2@h"},
		{flag: "--listen=http://u:hunter2@0.0.0.0:8480"},
		{flag: "--allowed-hosts=https://u:hunter2@brimline.example.com"},
		{flag: "--memory=postgres://u:hunter2@h"},
		{flag: "--kafka-sasl-mechanism=user=u;password=hunter2"},
		{flag: "--brokers=user=u;password=hunter2"},
		{flag: "--brokers=127.0.0.1:9092 password=hunter2"},
		{flag: "--brokers=a:1,127.0.0.1:9092;password:hunter2"},
		{file: "kafka_sasl_password: *hunter2"},
		{file: "kafka_sasl_password:hunter2: 1"},
		{file: "database_url:postgres://u:hunter2@h/app: 1"},
		{file: "postgres://u:hunter2@h/app: 1"},
		{file: "kafka_sasl_password=hunter2: 1"},
		{file: "replication: postgres://u:hunter2@h/app"},
		{file: "memory: host=h password=hunter2"},
		{file: "verbose: &hunter2"},
	} {
		var flags []string
		if c.flag != "" {
			flags = []string{c.flag}
		}
		config, err := parse(t, c.file, append([]string{"--rules=r.yaml", "--database-url=postgres://h/a"}, flags...)...)
		if err == nil {
			err = config.Valid()
		}
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	config, err := parse(t, "", "--table=transactions", "--rules=r.yaml", "--database-url=postgres://h/a")
	if err == nil {
		err = config.Valid()
	}
	if err == nil || !strings.Contains(err.Error(), `"transactions" is not schema.name`) {
		t.Errorf("what holds no secret is named: %v", err)
	}
}

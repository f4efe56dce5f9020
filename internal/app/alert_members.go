package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/tenant"
)

// memberTimeout bounds how long an alertmanager of another process is waited for: the evaluation of the group waits
// as well.
const memberTimeout = 3 * time.Second

// everyMember hands alerts to the alertmanager of this process and to those of the other rulers. In a cluster of
// Alertmanagers each must know every alert: who has one alone and isn't told of it any more, because another
// ruler evaluates its group now, would say that it has ended.
type everyMember struct {
	here   ruler.Sender
	others func() []string
	logger *slog.Logger
}

// SendAlerts implements ruler.Sender. One that is not reached gets them with the next message about them.
func (s everyMember) SendAlerts(ctx context.Context, tenantID string, alerts []ruler.Alert) error {
	body, err := postable(alerts)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, addr := range s.others() {
		all.Go(func() {
			if err := postAlerts(ctx, addr, tenantID, body); err != nil && ctx.Err() == nil {
				s.logger.Warn("alerts were not sent to the alertmanager of another member", "member", addr, "tenant", tenantID, "err", err)
			}
		})
	}
	err = s.here.SendAlerts(ctx, tenantID, alerts)
	all.Wait()
	return err
}

// postable are alerts as API v2 of Alertmanager takes them.
func postable(alerts []ruler.Alert) ([]byte, error) {
	type alert struct {
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
	}
	out := make([]alert, len(alerts))
	for i, a := range alerts {
		out[i] = alert{a.Labels.Map(), a.Annotations.Map(), a.StartsAt, a.EndsAt, a.GeneratorURL}
	}
	return json.Marshal(out)
}

func postAlerts(ctx context.Context, addr, tenantID string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/api/v2/alerts", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(tenant.Header, tenantID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

package config

import "net"

// clusterWarnings are settings under which members of a cluster don't do what their author may expect.
func (c Config) clusterWarnings() (out []string) {
	if c.Cluster.Alone() {
		return nil
	}
	host, _, _ := net.SplitHostPort(c.HTTP.Listen)
	ip := net.ParseIP(host)
	if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); loopback && c.Cluster.HTTPAddress == "" {
		out = append(out, "http.listen is "+c.HTTP.Listen+": members of the cluster on other machines can't reach it")
	}
	if c.Alertmanager.ConfigFile != "" && c.Alertmanager.Cluster.Listen == "" && !c.Alerting.External() {
		out = append(out, "alertmanager.cluster is not set: the alertmanagers of the cluster don't know of each other, alerts of a group of rules that moves are told again, and silences count where they were set")
	}
	if c.Cluster.Secret == "" {
		out = append(out, "cluster.secret is not set: whoever reaches "+c.Cluster.Listen+" can become a member")
	}
	return out
}

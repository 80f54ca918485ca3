// Package people is about who LDAP knows: people and machines use buckets through rights of their own and of their groups, whoever
// leaves a group loses what it gave, within the cache time, and an LDAP server that is stopped under load fails no request of those
// who use Garage, while others are told to try again.
//
// It runs on separate processes, with a slapd that it starts beside them, and on a cluster, with the cluster's slapd. The tree is
// that of nomad/ldap; what a test changes in it, it changes back.
package people

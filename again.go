package brimline

// Again is an edge that PostgreSQL dismissed because it has less than the window, on its way to be asked about again.
type Again struct {
	// Candidate is the dismissed candidate, without its newest rows.
	Candidate Candidate
	// Database is PostgreSQL's last answer.
	Database Figures
	// First is when PostgreSQL dismissed the edge, and Since is from when on its answers have been the same.
	First, Since Time
}

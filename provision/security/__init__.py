"""Who may talk to a cluster, and how: profiles of listeners, certificates, and where secrets are kept."""

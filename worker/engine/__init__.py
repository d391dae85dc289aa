"""What happens next: plan, steps, lease, retry and the service loop; the only room that composes the others."""

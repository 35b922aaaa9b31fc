"""What the flow is compared with: flow matching on the same transformer and the same data.

Read `flow_matching` first (the objective), then `couplings` (which noise goes with which data),
`integrators` and `likelihood` (how the learned velocity is used), `causal_velocity` (the network
for video) and `pipeline`.
"""

namespace qsmpi {}

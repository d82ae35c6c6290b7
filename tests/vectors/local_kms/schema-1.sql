-- root key cdcce6a4ab06ba7324a98f9b6c9f16c19f2f67f004f650abee10915a0525959c
-- blob 010202007853889b46e97fd008a30d0d954739e7ab580090982c668f111bff454d3a70126001eb5df6e521c50cc47e0bf3214b96ffbf0000006b306906092a864886f70d010706a05c305a020100305506092a864886f70d010701301e060960864801650304012e3011040c9857911ca687dd20f7ec68be0201108028de0f251742d0eaec30addfcc1fcd3e193557a5e7340eb3693b23714ac1819767ae93ffcb55315f67
PRAGMA application_id = 1699433811;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE aliases (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        key_id TEXT NOT NULL,
        created INTEGER NOT NULL, updated INTEGER NOT NULL,
        PRIMARY KEY (account, region, name),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID;
INSERT INTO "aliases" VALUES('000000000000','us-east-1','alias/old','a15677d5-c898-4bb3-811e-0cec32ba17f6',1795344246782,1795344246782);
CREATE TABLE keys (
        account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL,
        created INTEGER NOT NULL,
        description TEXT NOT NULL,
        usage TEXT NOT NULL, spec TEXT NOT NULL, origin TEXT NOT NULL,
        state TEXT NOT NULL,
        deletion INTEGER,
        role TEXT, primary_region TEXT,
        policy TEXT NOT NULL,
        material_id TEXT,
        PRIMARY KEY (account, region, key_id)
    ) WITHOUT ROWID;
INSERT INTO "keys" VALUES('000000000000','us-east-1','a15677d5-c898-4bb3-811e-0cec32ba17f6',1795344246781,'made under schema 1','ENCRYPT_DECRYPT','SYMMETRIC_DEFAULT','AWS_KMS','Enabled',NULL,NULL,NULL,'{
  "Version": "2012-10-17",
  "Id": "key-default-1",
  "Statement": [
    {
      "Sid": "Enable IAM User Permissions",
      "Effect": "Allow",
      "Principal": {
        "AWS": "arn:aws:iam::000000000000:root"
      },
      "Action": "kms:*",
      "Resource": "*"
    }
  ]
}','53889b46e97fd008a30d0d954739e7ab580090982c668f111bff454d3a701260');
CREATE TABLE materials (
        account TEXT NOT NULL, region TEXT NOT NULL, material_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        created INTEGER NOT NULL,
        wrapped BLOB NOT NULL,
        PRIMARY KEY (account, region, material_id),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID;
INSERT INTO "materials" VALUES('000000000000','us-east-1','53889b46e97fd008a30d0d954739e7ab580090982c668f111bff454d3a701260','a15677d5-c898-4bb3-811e-0cec32ba17f6',1795344246781,X'A44A629C1E40E64143A53E1F18FA32681BFAD5242F6E3422B36AFEC45EC1645A51B96B6DF76CF057E52E04DC36A1670CC4CF062CA5C46A82E060DD47');
CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "meta" VALUES('made with','a root key given by the program');
INSERT INTO "meta" VALUES('root key check',X'19016CCB6835C86D76BE00FC8FE6F1BD6EFA3F48C25A8FD142B2E248');
CREATE TABLE tags (
        account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL,
        tag TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (account, region, key_id, tag),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID;
INSERT INTO "tags" VALUES('000000000000','us-east-1','a15677d5-c898-4bb3-811e-0cec32ba17f6','a','b');
CREATE INDEX keys_by_deletion ON keys (deletion) WHERE deletion IS NOT NULL;
CREATE INDEX materials_by_key ON materials (account, region, key_id);
CREATE INDEX aliases_by_key ON aliases (account, region, key_id, name);
COMMIT;
